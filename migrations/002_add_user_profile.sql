-- Migration: add_user_profile
-- Created: 2024-03-11T14:40:02Z

-- UP
ALTER TABLE users
    ADD COLUMN full_name  VARCHAR(100),
    ADD COLUMN bio        TEXT,
    ADD COLUMN avatar_url TEXT;

-- DOWN
ALTER TABLE users
    DROP COLUMN avatar_url,
    DROP COLUMN bio,
    DROP COLUMN full_name;
