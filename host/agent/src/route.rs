//! Gives HTTP spans a name with few values.

use wirespan_route::{Outcome, Routes};
use wirespan_span::{Attribute, Kind, Span, Value, fields};

/// Puts the inferred template of `url.path` into `url.template` and behind the method in the name.
///
/// A span that has a template or a route already, and one that is no HTTP request, stays as it is.
pub(crate) fn add_template(routes: &Routes, span: &mut Span) {
    let Some(Value::Text(path)) = span.value(*fields::URL_PATH) else {
        return;
    };
    let named = [
        fields::URL_TEMPLATE.name(),
        *fields::HTTP_ROUTE,
        *fields::RPC_METHOD,
    ];
    if named.iter().any(|name| span.value(*name).is_some()) {
        return;
    }
    let status = match span.value(*fields::HTTP_RESPONSE_STATUS_CODE) {
        Some(Value::Integer(status)) => Some(*status),
        _ => None,
    };
    // What a client asks is told apart by whom it asks, what a server answers by who it is.
    let service = match (span.kind, span.value(fields::SERVER_ADDRESS.name())) {
        (Kind::Client, Some(Value::Text(address))) => address,
        (Kind::Client, _) => return,
        _ => &*span.resource.service_name,
    };
    let Some(template) = routes.template(service, path, Outcome::of_status(status)) else {
        return;
    };
    span.name = format!("{} {template}", span.name).into();
    span.attributes
        .push(Attribute::new(&fields::URL_TEMPLATE, template));
}
