-- Layers of the waiting policy that were changed and whose waiting parcels do not all have their new deadlines yet.
CREATE TABLE rearm (
    scope text NOT NULL,
    subject text NOT NULL,
    after uuid, -- the last parcel that has them; null when none has
    CONSTRAINT rearm_pkey PRIMARY KEY (scope, subject)
);
