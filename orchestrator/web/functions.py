"""Azure's requests and responses, from and to plain records."""

import azure.functions as func

from orchestrator.web.http import Answer


def headers_of(request: func.HttpRequest) -> dict[str, str]:
    """Return a request's headers by name in lower case."""
    return {name.lower(): value for name, value in request.headers.items()}


def response(answer: Answer) -> func.HttpResponse:
    """Return an answer as the host takes it."""
    return func.HttpResponse(
        answer.content,
        status_code=answer.status.value,
        mimetype=answer.content_type,
        headers=dict(answer.headers),
    )
