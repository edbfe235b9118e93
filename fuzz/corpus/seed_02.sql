SELECT 'a;b', E'c\\'d', $$e;f$$, "g;h", U&'i' ; -- j;k
/* l;/* m */ n */ SELECT 1