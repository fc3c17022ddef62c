-- Photographs that were not enrolled because they resemble somebody else, for staff to look into. It keeps how similar,
-- and nothing of the photograph.
CREATE TABLE enrolment_conflict (
    resident uuid NOT NULL REFERENCES resident (id), -- who was to be enrolled
    other uuid NOT NULL REFERENCES resident (id), -- whom the face resembles
    community text NOT NULL REFERENCES community (id),
    similarity real NOT NULL,
    found_at bigint NOT NULL,
    resolution text, -- null until staff looked into it
    settled_at bigint,
    CONSTRAINT enrolment_conflict_pkey PRIMARY KEY (resident, other)
);
CREATE INDEX enrolment_conflict_by_other ON enrolment_conflict (other, resident);
CREATE INDEX enrolment_conflict_by_community ON enrolment_conflict (community, found_at, resident);
