"""Types of the fields of API objects, with the examples that the OpenAPI description shows."""

from typing import Annotated, Any

from pydantic import Field


def shown(example: Any) -> Any:
    """Return a required field with this example."""
    return Field(examples=[example])


Time = Annotated[int, shown(1_790_000_000)]
# A time, or another field, that few objects have.
RareTime = Annotated[int | None, shown(None)]
RareText = Annotated[str | None, shown(None)]
BatchId = Annotated[str, shown("batch_4f0c6b2d9e8a4c1f8b7d3e5a6f901234")]
FileId = Annotated[str, shown("file-1b2c3d4e5f60718293a4b5c6d7e8f901")]
UploadId = Annotated[str, shown("upload_9a8b7c6d5e4f30212f3e4d5c6b7a8901")]
PartId = Annotated[str, shown("part_0f1e2d3c4b5a69788796a5b4c3d2e1f0")]
ResultId = Annotated[str, shown("batch_req_000000000000002a")]
EndpointId = Annotated[str, shown("we_5a6b7c8d9e0f41233210fedcba987654")]
EventId = Annotated[str, shown("evt_77e1c0de5eed4b1e8c0ffee012345678")]
EventName = Annotated[str, shown("batch.completed")]
ModelName = Annotated[str, shown("simulated-small")]
Filename = Annotated[str, shown("prompts.jsonl")]
Secret = Annotated[str, shown("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]
