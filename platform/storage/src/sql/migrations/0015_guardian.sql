-- Who is under 14, of whom nothing more of their age is kept; and by which guardian they agree: a resident's id or a
-- reference of the property's, no name. The hash of an entry without a guardian covers what it did before.
ALTER TABLE resident ADD COLUMN under_14 boolean NOT NULL DEFAULT false;
ALTER TABLE consent_ledger ADD COLUMN guardian text NOT NULL DEFAULT '';
