//! What holds for every request of the kubelet.

use std::time::Duration;

use super::credential_provider::{request, with_login};
use crate::logins::{Login, Wanted};
use crate::oci::ImageName;

/// What the kubelet writes to the standard input of a credential provider.
pub(crate) fn credential_provider(data: &[u8]) {
    let request = match request(data) {
        Ok(request) => request,
        Err(failure) => {
            let (told, code) = failure.told();
            assert!(code != 0 && told.len() < 1000, "{told:?} is too much to say");
            return;
        }
    };
    let Some(image) = ImageName::parse(&request.image) else { return };
    let wanted = Wanted { host: image.registry, repository: Some(image.repository) };
    for whole_registry in [true, false] {
        let left = Duration::from_mins(30);
        let login = Login { user: "cr_temp_user".to_owned(), password: "p".into(), left, whole_registry };
        let response = with_login(&wanted, &login);
        let Some(auth) = response["auth"].as_object() else { panic!("{response} has no logins") };
        let of_the_host = |place: &String| {
            let rest = place.strip_prefix(wanted.host.as_str());
            rest.is_some_and(|rest| rest.is_empty() == whole_registry && (rest.is_empty() || rest.starts_with('/')))
        };
        assert!(auth.len() == 1 && auth.keys().all(of_the_host), "{response} is for somebody else");
    }
}
