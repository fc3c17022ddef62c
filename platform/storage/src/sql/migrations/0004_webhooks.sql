-- Couriers' events as webhooks. The events stay in courier_event: an endpoint follows the log by number, and what it
-- did not take is set aside by number.
CREATE TABLE webhook_endpoint (
    id uuid NOT NULL,
    courier text NOT NULL REFERENCES courier (id),
    created_at bigint NOT NULL,
    url text NOT NULL,
    kinds text NOT NULL, -- JSON: names of the event types wanted; none for all
    disabled text NOT NULL, -- by whom or why; empty while it is called
    -- As they are, because they sign.
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_until bigint,
    passed bigint NOT NULL, -- every event up to here was delivered, set aside or not wanted
    retry_at bigint, -- when the first of its letters is due
    failures bigint NOT NULL, -- in a row
    failing_since bigint,
    last_error text NOT NULL,
    not_before bigint NOT NULL, -- it is left alone until then
    served_at bigint NOT NULL, -- whoever waited longest comes first
    lease uuid NOT NULL, -- of whoever calls it now
    leased_until bigint NOT NULL,
    CONSTRAINT webhook_endpoint_pkey PRIMARY KEY (id)
);
CREATE INDEX webhook_endpoint_by_courier ON webhook_endpoint (courier, id);

-- Events that an endpoint did not take: to be tried again, or dead.
CREATE TABLE webhook_letter (
    endpoint uuid NOT NULL REFERENCES webhook_endpoint (id) ON DELETE CASCADE,
    sequence bigint NOT NULL,
    courier text NOT NULL,
    attempts bigint NOT NULL,
    next_attempt_at bigint, -- null for a dead letter
    last_attempt_at bigint NOT NULL,
    last_error text NOT NULL,
    CONSTRAINT webhook_letter_pkey PRIMARY KEY (endpoint, sequence),
    -- Whatever is deleted from the log is delivered to nobody.
    CONSTRAINT webhook_letter_event FOREIGN KEY (courier, sequence)
        REFERENCES courier_event (courier, sequence) ON DELETE CASCADE
);
CREATE INDEX webhook_letter_by_event ON webhook_letter (courier, sequence);
CREATE INDEX webhook_letter_to_send ON webhook_letter (endpoint, next_attempt_at);
