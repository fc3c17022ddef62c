-- The parcel's journey. Instants are milliseconds since 1970; ids we make are uuid, ids people choose are text.
-- PostgreSQL reads the types; SQLite keeps each value as it is given (a uuid as 16 bytes).

CREATE TABLE community (
    id text NOT NULL,
    display_name text NOT NULL,
    time_zone text NOT NULL,
    topology text NOT NULL, -- JSON
    display text NOT NULL,
    CONSTRAINT community_pkey PRIMARY KEY (id)
);

CREATE TABLE courier (
    id text NOT NULL,
    display_name text NOT NULL,
    newest_sequence bigint NOT NULL,
    acknowledged_sequence bigint NOT NULL,
    CONSTRAINT courier_pkey PRIMARY KEY (id)
);

CREATE TABLE access_key (
    id uuid NOT NULL,
    principal text NOT NULL, -- JSON
    secret_hash bytea NOT NULL,
    created_at bigint NOT NULL,
    revoked_at bigint,
    CONSTRAINT access_key_pkey PRIMARY KEY (id),
    CONSTRAINT one_key_per_secret UNIQUE (secret_hash)
);

CREATE TABLE policy_layer (
    scope text NOT NULL,
    subject text NOT NULL, -- empty for the tenant
    layer text NOT NULL, -- JSON
    CONSTRAINT policy_layer_pkey PRIMARY KEY (scope, subject)
);

CREATE TABLE request (
    principal text NOT NULL,
    request_id uuid NOT NULL,
    rpc text NOT NULL,
    body_hash bytea NOT NULL,
    answer bytea NOT NULL,
    answered_at bigint NOT NULL,
    CONSTRAINT request_pkey PRIMARY KEY (principal, request_id)
);
CREATE INDEX request_by_age ON request (answered_at);

CREATE TABLE resident (
    id uuid NOT NULL,
    community text NOT NULL REFERENCES community (id),
    name text NOT NULL,
    name_key text NOT NULL,
    phone text NOT NULL,
    phone_key text, -- null when the phone is too short to tell anybody
    email text NOT NULL,
    building text NOT NULL,
    unit text NOT NULL,
    person_reference text NOT NULL,
    CONSTRAINT resident_pkey PRIMARY KEY (id)
);
CREATE INDEX resident_by_community ON resident (community, id);
CREATE INDEX resident_by_name ON resident (community, name_key);
CREATE INDEX resident_by_phone ON resident (community, phone_key) WHERE phone_key IS NOT NULL;
CREATE UNIQUE INDEX one_resident_per_person_reference ON resident (community, person_reference)
    WHERE person_reference <> '';

-- What was agreed to and taken back, for ever as long as the resident is kept.
CREATE TABLE consent_entry (
    resident uuid NOT NULL REFERENCES resident (id),
    purpose text NOT NULL,
    sequence bigint NOT NULL,
    given boolean NOT NULL,
    notice text NOT NULL, -- the text that was agreed to, by version; empty when taken back
    recorded_at bigint NOT NULL,
    CONSTRAINT consent_entry_pkey PRIMARY KEY (resident, purpose, sequence)
);

-- What holds now.
CREATE TABLE consent_in_force (
    resident uuid NOT NULL REFERENCES resident (id),
    purpose text NOT NULL,
    CONSTRAINT consent_in_force_pkey PRIMARY KEY (resident, purpose)
);

CREATE TABLE pickup (
    resident uuid NOT NULL REFERENCES resident (id),
    picked_up_at bigint NOT NULL,
    CONSTRAINT pickup_pkey PRIMARY KEY (resident, picked_up_at)
);

CREATE TABLE template (
    id uuid NOT NULL,
    resident uuid NOT NULL REFERENCES resident (id),
    model text NOT NULL,
    embedding bytea NOT NULL, -- sealed
    enrolled_at bigint NOT NULL,
    CONSTRAINT template_pkey PRIMARY KEY (id)
);
CREATE INDEX template_by_resident ON template (resident);

CREATE TABLE parcel (
    id uuid NOT NULL,
    courier text NOT NULL REFERENCES courier (id),
    community text NOT NULL REFERENCES community (id),
    tracking_number text NOT NULL,
    size text NOT NULL,
    deposit_consent text NOT NULL,
    announced_at bigint NOT NULL,
    traceparent text NOT NULL,
    -- The addressee: a resident with a door, or a label for staff.
    resident uuid REFERENCES resident (id),
    building text,
    unit text,
    label_name text,
    label_phone text,
    label_building text,
    label_unit text,
    label_address text,
    -- The state, and what it knows.
    state text NOT NULL,
    state_since bigint NOT NULL,
    placement text,
    door_reason text,
    walking_metres double precision,
    reserved_until bigint,
    locker text,
    compartment text,
    deposited_at bigint,
    remind_from bigint,
    recall_at bigint,
    recalls bigint,
    reminders_sent bigint,
    last_reminded_at bigint,
    plan text,
    planned_at bigint,
    -- The compartment that is not free because of this parcel; empties when a reservation runs out.
    held_locker text,
    held_compartment text,
    next_due bigint,
    version bigint NOT NULL,
    CONSTRAINT parcel_pkey PRIMARY KEY (id),
    CONSTRAINT one_parcel_per_tracking_number UNIQUE (courier, tracking_number)
);
CREATE UNIQUE INDEX one_parcel_per_compartment ON parcel (community, held_locker, held_compartment)
    WHERE held_compartment IS NOT NULL;
CREATE INDEX parcel_by_reservation ON parcel (community, reserved_until)
    WHERE held_compartment IS NOT NULL AND reserved_until IS NOT NULL;
CREATE INDEX parcel_by_deadline ON parcel (next_due, id) WHERE next_due IS NOT NULL;
CREATE INDEX parcel_by_courier ON parcel (courier, announced_at, id);
CREATE INDEX parcel_by_courier_and_state ON parcel (courier, state, announced_at, id);
CREATE INDEX parcel_by_resident ON parcel (resident, state) WHERE resident IS NOT NULL;
CREATE INDEX parcel_unresolved ON parcel (community, announced_at, id) WHERE resident IS NULL AND state = 'ANNOUNCED';

-- A courier's event log: the number is taken from the courier's row in the transaction that writes the entry.
CREATE TABLE courier_event (
    courier text NOT NULL REFERENCES courier (id),
    sequence bigint NOT NULL,
    parcel uuid NOT NULL REFERENCES parcel (id),
    tracking_number text NOT NULL,
    state text NOT NULL,
    happened_at bigint NOT NULL,
    kind text NOT NULL,
    recall bigint,
    locker text,
    compartment text,
    building text,
    unit text,
    CONSTRAINT courier_event_pkey PRIMARY KEY (courier, sequence)
);
CREATE INDEX courier_event_by_parcel ON courier_event (parcel);

-- The outbox of reminders, one row a channel.
CREATE TABLE notice (
    id uuid NOT NULL,
    parcel uuid NOT NULL REFERENCES parcel (id),
    resident uuid NOT NULL REFERENCES resident (id),
    channel text NOT NULL,
    cause text NOT NULL,
    gate text,
    similarity real,
    decided_at bigint NOT NULL,
    delivery text NOT NULL,
    attempts bigint NOT NULL,
    next_attempt_at bigint,
    last_error text NOT NULL,
    traceparent text NOT NULL,
    CONSTRAINT notice_pkey PRIMARY KEY (id)
);
CREATE INDEX notice_to_send ON notice (next_attempt_at, id) WHERE delivery = 'pending';
CREATE INDEX notice_by_resident ON notice (resident, decided_at, id);
CREATE INDEX notice_by_parcel ON notice (parcel);
