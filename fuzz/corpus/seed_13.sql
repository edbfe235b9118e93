SELECT E'a' -- c
 'b\'c', 'd' - 1;
