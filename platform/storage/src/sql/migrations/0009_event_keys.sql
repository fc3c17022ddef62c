-- Whoever appends an event has just locked its courier and saved its parcel, and neither is ever deleted. That the
-- database looked both up again for every event took more than a quarter of its time in a burst of recalls.
ALTER TABLE courier_event DROP CONSTRAINT courier_event_courier_fkey, DROP CONSTRAINT courier_event_parcel_fkey;
