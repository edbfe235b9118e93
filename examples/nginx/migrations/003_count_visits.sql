-- UP
CREATE VIEW visits_by_page AS
    SELECT page, count(*) AS visits, max(seen_at) AS last_seen FROM visits GROUP BY page;

-- Stands for a long migration, so that the status page has something to show.
SELECT pg_sleep(3);

-- DOWN
DROP VIEW visits_by_page;
