-- What a key is limited to, when it ends, when it was last used, and the secrets it had before it was rotated.

ALTER TABLE access_key ADD COLUMN scopes text NOT NULL DEFAULT '[]'; -- JSON; an empty list is no limit
ALTER TABLE access_key ADD COLUMN expires_at bigint;
ALTER TABLE access_key ADD COLUMN last_used_at bigint; -- coarse: written every few minutes at most

CREATE TABLE former_secret (
    secret_hash bytea NOT NULL,
    access_key uuid NOT NULL REFERENCES access_key (id),
    valid_until bigint NOT NULL,
    CONSTRAINT former_secret_pkey PRIMARY KEY (secret_hash)
);
CREATE INDEX former_secret_by_key ON former_secret (access_key, valid_until);
