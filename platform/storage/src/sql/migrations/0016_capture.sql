-- Frames of a gate that a resident is enrolled from, for a minute: no picture, only what became of them. One a resident.
CREATE TABLE capture (
    resident uuid NOT NULL REFERENCES resident (id),
    community text NOT NULL,
    gate text NOT NULL,
    opened_at bigint NOT NULL,
    ends_at bigint NOT NULL,
    wanted bigint NOT NULL, -- faces
    enrolled bigint NOT NULL,
    frames bigint NOT NULL, -- with a face
    refused text NOT NULL, -- JSON: frames by reason
    CONSTRAINT capture_pkey PRIMARY KEY (resident)
);
CREATE INDEX capture_by_gate ON capture (community, gate, ends_at);
