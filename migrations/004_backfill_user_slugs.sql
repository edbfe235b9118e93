-- Migration: backfill_user_slugs
-- Created: 2024-05-02T16:21:10Z

-- UP
ALTER TABLE users ADD COLUMN slug VARCHAR(50);

-- 'Ada Lovelace' becomes 'ada-lovelace'
UPDATE users
SET slug = trim(BOTH '-' FROM regexp_replace(lower(username), '[^a-z0-9]+', '-', 'g'));

ALTER TABLE users
    ALTER COLUMN slug SET NOT NULL,
    ADD CONSTRAINT users_slug_key UNIQUE (slug);

-- DOWN
ALTER TABLE users DROP COLUMN slug;
