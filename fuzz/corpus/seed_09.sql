-- UP
SELECT 'ä€𝄞';
