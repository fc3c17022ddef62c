-- What makes a recognition trusted: by which measurement a community's threshold is chosen, what was mistaken, and where
-- somebody was seen last.

CREATE TABLE recognition_policy (
    community text NOT NULL REFERENCES community (id),
    policy text NOT NULL, -- JSON
    CONSTRAINT recognition_policy_pkey PRIMARY KEY (community)
);

-- A sighting that was of somebody else: as the resident or staff said, or because nobody walks that fast. It keeps how
-- similar the stranger was, and nothing else of the stranger.
CREATE TABLE misidentification (
    resident uuid NOT NULL REFERENCES resident (id),
    community text NOT NULL REFERENCES community (id),
    reason text NOT NULL,
    gate text NOT NULL,
    seen_at bigint NOT NULL,
    similarity real, -- null when a smart camera said who it was
    other_gate text,
    other_seen_at bigint,
    reported_at bigint NOT NULL,
    settled_at bigint,
    CONSTRAINT misidentification_pkey PRIMARY KEY (resident, seen_at)
);
CREATE INDEX misidentification_by_community ON misidentification (community, reported_at, resident);

-- Residents with a parcel due, for as long as a walk between gates takes.
CREATE TABLE last_sighting (
    resident uuid NOT NULL REFERENCES resident (id),
    gate text NOT NULL,
    seen_at bigint NOT NULL,
    CONSTRAINT last_sighting_pkey PRIMARY KEY (resident)
);
CREATE INDEX last_sighting_by_age ON last_sighting (seen_at);
