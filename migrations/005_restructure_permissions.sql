-- Migration: restructure_permissions
-- Created: 2024-06-17T11:33:56Z

-- UP
CREATE TABLE roles (
    id   SERIAL PRIMARY KEY,
    name VARCHAR(20) NOT NULL UNIQUE
);

CREATE TABLE user_roles (
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role_id    INTEGER NOT NULL REFERENCES roles (id),
    granted_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    PRIMARY KEY (user_id, role_id)
);

INSERT INTO roles (name) VALUES ('user');
INSERT INTO roles (name) SELECT DISTINCT role FROM users WHERE role <> 'user' ORDER BY role;

INSERT INTO user_roles (user_id, role_id)
SELECT users.id, roles.id FROM users JOIN roles ON roles.name = users.role;

ALTER TABLE users DROP COLUMN role;

-- DOWN
ALTER TABLE users ADD COLUMN role VARCHAR(20) NOT NULL DEFAULT 'user';

-- One column holds one role: of several, the one that was granted last.
UPDATE users
SET role = latest.name
FROM (
    SELECT DISTINCT ON (user_roles.user_id) user_roles.user_id, roles.name
    FROM user_roles JOIN roles ON roles.id = user_roles.role_id
    ORDER BY user_roles.user_id, user_roles.granted_at DESC, roles.id DESC
) AS latest
WHERE latest.user_id = users.id;

CREATE INDEX idx_users_role ON users (role);

DROP TABLE user_roles;
DROP TABLE roles;
