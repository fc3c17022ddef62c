-- What is personal and old is found without looking at everything.

CREATE INDEX notice_by_age ON notice (decided_at) WHERE delivery <> 'pending';
CREATE INDEX pickup_by_age ON pickup (picked_up_at);
CREATE INDEX parcel_addressee_by_age ON parcel (state_since)
    WHERE state IN ('PICKED_UP', 'DELIVERED_TO_DOOR', 'CANCELLED', 'RETURNED_TO_SENDER')
        AND (resident IS NOT NULL OR label_name IS NOT NULL);
