//! The courier's side of bringing parcels: announcing them, putting them into compartments, and reporting what
//! happens at the locker.

use anyhow::{Context, bail};
use gatepost_process::clock::SharedClock;
use gatepost_proto::v1::get_parcel_request::Key as ParcelKey;
use gatepost_proto::v1::{
    AnnounceParcelRequest, AnnounceParcelResponse, CancelParcelRequest, ConfirmDepositRequest, ConfirmPickupRequest,
    DepositConsent, GetParcelRequest, Parcel, ParcelSize, PlacementKind, Recipient,
};
use serde::Deserialize;

use crate::client::{Key, Platform, request_id, to_wire};

/// A parcel to bring, as a courier's own systems have it; one JSON object a line in a parcel file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consignment {
    /// Unique for the courier.
    pub tracking_number: String,
    /// Who it is for.
    pub name: String,
    /// Who it is for.
    #[serde(default)]
    pub phone: String,
    /// As the community writes it.
    #[serde(default)]
    pub building: String,
    /// As the community writes it.
    #[serde(default)]
    pub unit: String,
    /// The whole line, where building and unit are not known apart.
    #[serde(default)]
    pub address: String,
    /// How large it is.
    pub size: Size,
    /// Whether the recipient agreed to a locker, if they were asked.
    #[serde(default)]
    pub deposit_consent: Option<bool>,
}

/// Sizes as a parcel file writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// A book.
    Small,
    /// A pair of shoes.
    Medium,
    /// A coffee machine.
    Large,
}

impl From<Size> for ParcelSize {
    fn from(size: Size) -> Self {
        match size {
            Size::Small => ParcelSize::Small,
            Size::Medium => ParcelSize::Medium,
            Size::Large => ParcelSize::Large,
        }
    }
}

/// Speaks to `ParcelService` for one courier; clones share the connection.
#[derive(Clone)]
pub struct Counter {
    /// Where to.
    pub platform: Platform,
    /// The courier's key.
    pub key: Key,
    /// For the times that are reported.
    pub clock: SharedClock,
}

impl Counter {
    /// Announces a parcel and has a place reserved for it.
    pub async fn announce(
        &self,
        community_id: &str,
        consignment: Consignment,
    ) -> anyhow::Result<AnnounceParcelResponse> {
        let size = ParcelSize::from(consignment.size);
        let deposit_consent = match consignment.deposit_consent {
            None => DepositConsent::Unspecified,
            Some(true) => DepositConsent::Given,
            Some(false) => DepositConsent::Refused,
        };
        let request = AnnounceParcelRequest {
            request_id: request_id(),
            community_id: community_id.to_owned(),
            tracking_number: consignment.tracking_number,
            recipient: Some(Recipient {
                name: consignment.name,
                phone: consignment.phone,
                building: consignment.building,
                unit: consignment.unit,
                address: consignment.address,
            }),
            size: size.into(),
            deposit_consent: deposit_consent.into(),
        };
        let answer = self.platform.parcels(&self.key).announce_parcel(request).await;
        Ok(answer.context("cannot announce a parcel")?.into_inner())
    }

    /// Puts an announced parcel into the compartment that is reserved for it, now.
    pub async fn deposit(&self, parcel: &Parcel) -> anyhow::Result<Parcel> {
        let placement = parcel.placement.clone().unwrap_or_default();
        if placement.kind() != PlacementKind::Locker {
            bail!("parcel {} was placed as {}, not in a locker", parcel.id, placement.kind().as_str_name());
        }
        let request = ConfirmDepositRequest {
            request_id: request_id(),
            parcel_id: parcel.id.clone(),
            locker_id: placement.locker_id,
            compartment_id: placement.compartment_id,
            deposit_time: Some(to_wire(self.clock.now())),
        };
        let answer = self.platform.parcels(&self.key).confirm_deposit(request).await;
        let parcel = answer.context("cannot deposit a parcel")?.into_inner().parcel;
        parcel.context("the platform's answer has no parcel")
    }

    /// Reports that the resident opened the compartment, now.
    pub async fn pick_up(&self, parcel_id: &str) -> anyhow::Result<Parcel> {
        let request = ConfirmPickupRequest {
            request_id: request_id(),
            parcel_id: parcel_id.to_owned(),
            pickup_time: Some(to_wire(self.clock.now())),
        };
        let answer = self.platform.parcels(&self.key).confirm_pickup(request).await;
        let parcel = answer.context("cannot report a pickup")?.into_inner().parcel;
        parcel.context("the platform's answer has no parcel")
    }

    /// Cancels an announced parcel.
    pub async fn cancel(&self, parcel_id: &str) -> anyhow::Result<()> {
        let request = CancelParcelRequest { request_id: request_id(), parcel_id: parcel_id.to_owned() };
        self.platform.parcels(&self.key).cancel_parcel(request).await.context("cannot cancel a parcel")?;
        Ok(())
    }

    /// How a parcel stands.
    pub async fn parcel(&self, parcel_id: &str) -> anyhow::Result<Parcel> {
        let request = GetParcelRequest { key: Some(ParcelKey::ParcelId(parcel_id.to_owned())) };
        let answer = self.platform.parcels(&self.key).get_parcel(request).await.context("cannot look up a parcel")?;
        answer.into_inner().parcel.context("the platform's answer has no parcel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_parcel_file() {
        let line = r#"{"tracking_number": "SF-1", "name": "王芳", "address": "莲花苑3号楼802室", "size": "small"}"#;
        let consignment: Consignment = serde_json::from_str(line).unwrap();
        assert_eq!((consignment.size, consignment.deposit_consent), (Size::Small, None));
        assert!(serde_json::from_str::<Consignment>(r#"{"tracking": "SF-1"}"#).is_err());
    }
}
