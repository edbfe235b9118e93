COPY t, line 2, column a: "x"
COPY t FROM STDIN;
1
x
\.
SELECT 1;
