//! Enrolment at a gate, as staff open it and follow it. The frames are taken in by `capture.rs`.

use std::ops::ControlFlow;

use gatepost_domain::{id::GateId, principal::Principal};
use gatepost_proto::v1;
use gatepost_storage::Capture;

use super::{
    communities::found,
    convert::{self, instant_to_proto},
    residents::{Residents, resident},
};
use crate::{
    capture::OPEN_FOR,
    enrolment::{FACES_MAX, check_resident},
    platform::Mutation,
    problem::{Missing, Problem},
};

/// Faces that are enough, where nothing else is asked for.
const WANTED: u32 = 3;

impl Residents {
    pub(super) async fn open_capture(
        &self,
        caller: &Principal,
        request: &v1::OpenCaptureRequest,
    ) -> Result<v1::OpenCaptureResponse, Problem> {
        let gate: GateId = convert::id(&request.gate_id, "gate_id")?;
        let wanted = match u32::try_from(request.faces) {
            Ok(0) => WANTED,
            Ok(wanted) if wanted <= FACES_MAX => wanted,
            Ok(_) | Err(_) => {
                return Err(Problem::invalid("faces", format!("1 to {FACES_MAX}, or unset for {WANTED}")));
            }
        };
        let mutation = match self.0.begin(caller, "OpenCapture", &request.request_id, request).await? {
            ControlFlow::Break(answer) => return Ok(answer),
            ControlFlow::Continue(mutation) => mutation,
        };
        let Mutation { tx, now, .. } = &mutation;
        let whose = resident(tx, caller, &request.resident_id).await?;
        if !found(tx, &whose.community).await?.topology.has_gate(&gate) {
            return Err(Problem::NotFound(Missing::Gate));
        }
        check_resident(tx, &whose).await?;
        tx.lock_community(&whose.community).await?;
        let under_way = tx.open_capture(&whose.community, &gate, *now).await?;
        if under_way.is_some_and(|other| other.resident != whose.id) {
            return Err(Problem::GateBusy);
        }
        let capture = Capture {
            resident: whose.id,
            community: whose.community,
            gate,
            opened_at: *now,
            ends_at: *now + OPEN_FOR,
            wanted,
            enrolled: 0,
            frames: 0,
            refused: Default::default(),
        };
        tx.save_capture(&capture).await?;
        let answer = v1::OpenCaptureResponse { capture: Some(capture_to_proto(&capture)) };
        self.0.commit(mutation, answer, &[]).await
    }

    pub(super) async fn get_capture(
        &self,
        caller: &Principal,
        request: &v1::GetCaptureRequest,
    ) -> Result<v1::GetCaptureResponse, Problem> {
        let tx = self.0.store.read().await?;
        let whose = resident(&tx, caller, &request.resident_id).await?;
        let capture = tx.capture(whose.id).await?.ok_or(Problem::NotFound(Missing::Capture))?;
        Ok(v1::GetCaptureResponse { capture: Some(capture_to_proto(&capture)) })
    }
}

fn capture_to_proto(capture: &Capture) -> v1::Capture {
    let refused = capture.refused.iter();
    v1::Capture {
        resident_id: capture.resident.to_string(),
        gate_id: capture.gate.to_string(),
        open_time: Some(instant_to_proto(capture.opened_at)),
        end_time: Some(instant_to_proto(capture.ends_at)),
        faces: capture.wanted as i32,
        enrolled: capture.enrolled as i32,
        frames: capture.frames as i32,
        refused: refused
            .map(|(reason, frames)| v1::CaptureRefusal { reason: reason.clone(), frames: *frames as i32 })
            .collect(),
    }
}
