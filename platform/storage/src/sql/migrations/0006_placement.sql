-- Where parcels may be put, and which state of a community's places that was decided by.

ALTER TABLE community ADD COLUMN version bigint NOT NULL DEFAULT 1; -- grows by one with every change

ALTER TABLE resident ADD COLUMN needs_accessible boolean NOT NULL DEFAULT false;
