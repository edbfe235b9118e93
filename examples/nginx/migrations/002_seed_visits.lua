-- A Lua migration in nginx may yield: it gives way to requests between its pieces.
return {
  up = function(db)
    for day = 1, 3 do
      db:query([[INSERT INTO visits (page, seen_at)
        SELECT '/page/' || n % 10, now() - make_interval(days => $1::int) - n * interval '1 second'
        FROM generate_series(1, 1000) AS n]], day)
    end
  end,
  down = function(db) db:exec "DELETE FROM visits" end,
}
