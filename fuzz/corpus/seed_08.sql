\\restrict x
SELECT 1;
\\unrestrict x
