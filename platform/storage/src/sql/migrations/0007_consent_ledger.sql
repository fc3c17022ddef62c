-- Who agreed to what and took it back, as an append-only chain for each community: each entry's hash covers the entry and
-- the hash before it. It takes the place of consent_entry. It outlives the resident, of whom it knows a random id.

DROP TABLE consent_entry;

CREATE TABLE consent_ledger (
    community text NOT NULL REFERENCES community (id),
    sequence bigint NOT NULL, -- from 1, without gaps
    resident uuid NOT NULL, -- may be deleted
    purpose text NOT NULL,
    given boolean NOT NULL,
    notice text NOT NULL, -- which text was agreed to, by version; empty when taken back
    notice_sha256 bytea, -- of the text itself, where it was told
    by_guardian boolean NOT NULL,
    recorded_at bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT consent_ledger_pkey PRIMARY KEY (community, sequence)
);
CREATE INDEX consent_ledger_by_resident ON consent_ledger (resident, sequence);

-- Consents of before the ledger have no entry in it. No release kept any.
DELETE FROM consent_in_force;
