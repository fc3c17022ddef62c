-- A model upgrade under way: at most one, and none most of the time.

CREATE TABLE model_upgrade (
    id bigint NOT NULL,
    old_model text NOT NULL,
    new_model text NOT NULL,
    switched boolean NOT NULL, -- to the new model
    -- Faces that both models looked at in one frame, by what they said. Of whose faces they are nothing is kept.
    same bigint NOT NULL,
    neither bigint NOT NULL,
    only_old bigint NOT NULL,
    only_new bigint NOT NULL,
    different bigint NOT NULL,
    CONSTRAINT model_upgrade_pkey PRIMARY KEY (id),
    CONSTRAINT model_upgrade_is_one CHECK (id = 1)
);
