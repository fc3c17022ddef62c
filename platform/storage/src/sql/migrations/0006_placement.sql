-- Where parcels may be put, by which version of a community's places, and what becomes of them after the door.

ALTER TABLE community ADD COLUMN version bigint NOT NULL DEFAULT 1; -- grows by one with every change

ALTER TABLE parcel ADD COLUMN recall_basis text; -- what recall_at counts from
ALTER TABLE parcel ADD COLUMN extended boolean;
ALTER TABLE parcel ADD COLUMN hold_since bigint;
ALTER TABLE parcel ADD COLUMN hold_until bigint;
ALTER TABLE parcel ADD COLUMN door_attempts bigint;

ALTER TABLE resident ADD COLUMN needs_accessible boolean NOT NULL DEFAULT false;
