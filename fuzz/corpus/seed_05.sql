-- pgmig: transaction=off lock_timeout=2s
-- UP
VACUUM;
