-- Why somebody was reminded, or not, and why a recall was asked for: what each was decided by. No face, no name. Of a
-- passage that reminded nobody only the last for each parcel and rule is kept, so that it is no record of who comes and
-- goes when.
CREATE TABLE decision (
    id uuid NOT NULL,
    resident uuid REFERENCES resident (id), -- null of a recall, which is about its parcel and whoever that is for
    parcel uuid, -- null when it was decided before a parcel was looked at
    community text NOT NULL,
    rule text NOT NULL,
    decided_at bigint NOT NULL,
    record text NOT NULL, -- JSON
    CONSTRAINT decision_pkey PRIMARY KEY (id)
);
CREATE INDEX decision_by_resident ON decision (resident, decided_at) WHERE resident IS NOT NULL;
CREATE INDEX decision_by_parcel ON decision (parcel, decided_at);

-- How often a layer, or a community's recognition policy, was set.
ALTER TABLE policy_layer ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE recognition_policy ADD COLUMN version bigint NOT NULL DEFAULT 1;
