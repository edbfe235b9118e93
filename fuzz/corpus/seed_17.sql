COPY t, line 6, ÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿ!ÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿÿcolumn a: "x"
COPY t FROM STDIN;
1
x
\.
SELECT 1;
