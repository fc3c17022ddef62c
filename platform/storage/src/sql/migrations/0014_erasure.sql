-- Erasures of residents, until each replica has confirmed that its memory holds nothing of them, and the certificates that
-- say so. They know a random id, and nothing else of whom was erased.

CREATE TABLE erasure (
    id uuid NOT NULL,
    community text NOT NULL REFERENCES community (id),
    resident uuid NOT NULL, -- who is no more
    requested_at bigint NOT NULL,
    principal text NOT NULL,
    removed text NOT NULL, -- JSON: how many rows of which tables
    completed_at bigint,
    certificate text, -- signed; null until then
    CONSTRAINT erasure_pkey PRIMARY KEY (id)
);
CREATE INDEX erasure_running ON erasure (requested_at, id) WHERE completed_at IS NULL;

CREATE TABLE erasure_confirmation (
    erasure uuid NOT NULL REFERENCES erasure (id),
    replica uuid NOT NULL,
    confirmed_at bigint NOT NULL,
    faces bigint NOT NULL, -- faces of the resident that were in its memory
    CONSTRAINT erasure_confirmation_pkey PRIMARY KEY (erasure, replica)
);

-- Platforms that run now.
CREATE TABLE replica (
    id uuid NOT NULL,
    seen_at bigint NOT NULL,
    CONSTRAINT replica_pkey PRIMARY KEY (id)
);

-- What certificates are signed with, wrapped by the master key.
CREATE TABLE signing_key (
    generation bigint NOT NULL,
    public_key bytea NOT NULL,
    master text NOT NULL,
    wrapped bytea NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT signing_key_pkey PRIMARY KEY (generation)
);
