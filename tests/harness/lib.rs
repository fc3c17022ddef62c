//! The world the journeys are tested in.
