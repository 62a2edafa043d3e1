"""Tell a person what ends a destination's refusal."""

from __future__ import annotations

_OTHERWISE = "read the destination's log; the records stay queued at the source"
_NEXT_STEPS = {
    0: "see that the destination is up and reachable; nothing is lost meanwhile",
    400: "raise the quota of bucket {bucket} at the destination or free space in it",
    401: "make a token the destination takes: fleetbox tokens rotate (--robot R, or --site S for a site's own)",
    403: "give the relay's token read and write on bucket {bucket} at the destination",
    404: "make bucket {bucket} at the destination again: fleetbox site provision --site S, S being that site",
    409: "look at both records of that time, delete the one that is wrong; each stays where it is until then",
    413: "let the destination, or the proxy before it, accept larger bodies",
    422: "one record's labels or size are refused; the destination's message names it",
    431: "raise RS_IO_BATCH_MAX_METADATA_SIZE at the destination to the source's value",
    500: "read the destination's log; a storage limit answers 500 too",
    507: "free disk space at the destination",
}
_BEING_REMOVED = "being deleted"  # the engine answers 409 for this too
_WAIT = "wait: bucket {bucket}, or an entry of it, is being removed at the destination; its site makes it again"


def next_step(status: int, bucket: str, message: str = "") -> str:
    """Return what ends a refusal with this status and the destination's message; 0 stands for no answer."""
    if status == 409 and _BEING_REMOVED in message:
        return _WAIT.format(bucket=bucket)
    return _NEXT_STEPS.get(status, _OTHERWISE).format(bucket=bucket)
