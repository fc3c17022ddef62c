-- Templates sealed at rest: a key a resident, wrapped by its community's key, wrapped by the master key, which is not
-- here. A community has several keys while the residents' keys move to the newest one.

CREATE TABLE community_key (
    community text NOT NULL REFERENCES community (id),
    generation bigint NOT NULL,
    master text NOT NULL, -- which master key wrapped it
    wrapped bytea NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT community_key_pkey PRIMARY KEY (community, generation)
);

CREATE TABLE resident_key (
    resident uuid NOT NULL REFERENCES resident (id),
    community text NOT NULL,
    generation bigint NOT NULL,
    wrapped bytea NOT NULL,
    CONSTRAINT resident_key_pkey PRIMARY KEY (resident),
    CONSTRAINT resident_key_under_its_community FOREIGN KEY (community, generation)
        REFERENCES community_key (community, generation)
);
CREATE INDEX resident_key_by_community ON resident_key (community, generation);

-- Vectors that nobody sealed must not stay. No release kept any.
DELETE FROM template;
