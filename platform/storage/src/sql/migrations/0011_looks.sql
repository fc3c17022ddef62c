-- Every look of staff at what is personal, as an append-only chain for each community, like the ledger of consent. Looks
-- that found nobody, or reached for another community, are in the chain without a name.

CREATE TABLE look (
    community text NOT NULL,
    sequence bigint NOT NULL, -- from 1, without gaps; old ones are deleted from the first on
    looked_at bigint NOT NULL,
    principal text NOT NULL,
    bearer text NOT NULL, -- whose key or token it was
    rpc text NOT NULL,
    outcome text NOT NULL, -- OK, or the reason why not
    request_id uuid,
    subjects text NOT NULL, -- JSON: ids of residents and parcels; what is personal of them is not here
    hash bytea NOT NULL,
    CONSTRAINT look_pkey PRIMARY KEY (community, sequence)
);
CREATE INDEX look_by_age ON look (looked_at);

-- The looks at one of them.
CREATE TABLE look_subject (
    subject text NOT NULL,
    community text NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT look_subject_pkey PRIMARY KEY (subject, community, sequence),
    CONSTRAINT look_subject_look FOREIGN KEY (community, sequence)
        REFERENCES look (community, sequence) ON DELETE CASCADE
);
CREATE INDEX look_subject_by_look ON look_subject (community, sequence);

-- The last look that was deleted of a chain: what is left follows it.
CREATE TABLE look_forgotten (
    community text NOT NULL,
    sequence bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT look_forgotten_pkey PRIMARY KEY (community)
);
