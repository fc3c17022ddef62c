-- For lists of a community's erasures, the newest first: the ids begin with the time.
CREATE INDEX erasure_by_community ON erasure (community, id);
