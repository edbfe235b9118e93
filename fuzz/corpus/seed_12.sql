SELECT $tag$x$tag$, $títé_0$y$títé_0$, $1;
