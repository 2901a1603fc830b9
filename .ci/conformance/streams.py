"""The two forms of a stream. Each takes an answer's events one by one, and tells what is wrong with them and with their end;
`faults` tells what is wrong with an event's value."""

import json


class Chunks:
    """Of chat and completions: lines of data, each a chunk or an error, and `[DONE]`."""

    def __init__(self, faults):
        self.faults = faults
        self.done = False

    def take(self, event):
        if self.done:
            return [f"an event after [DONE]: {event}"]
        if not event.startswith("data: ") or "\n" in event:
            return [] if event.startswith(":") else [f"not an event of one line of data: {event}"]
        data = event.removeprefix("data: ")
        if data == "[DONE]":
            self.done = True
            return []
        return self.faults(data)

    def end(self):
        return [] if self.done else ["the stream ends without [DONE]"]


class Events:
    """Of responses: each is named after its type and has the next number; the last one has the whole response."""

    LAST = {"response.completed", "response.incomplete", "response.failed"}

    def __init__(self, faults):
        self.faults = faults
        self.types = []

    def take(self, event):
        if event.startswith(":"):
            return []
        name, _, data = event.partition("\ndata: ")
        faults = self.faults(data)
        try:
            value = json.loads(data)
            kind, number = value["type"], value["sequence_number"]
        except (ValueError, TypeError, KeyError):
            return [*faults, f"not an event with a type and a number: {event}"]
        if name != f"event: {kind}":
            faults.append(f"{kind} is named otherwise: {name}")
        if number != len(self.types):
            faults.append(f"{kind} has number {number}, not {len(self.types)}")
        if self.LAST.intersection(self.types):
            faults.append(f"{kind} comes after the last event")
        if not self.types and kind not in ("response.created", "error"):
            faults.append(f"the first event is {kind}")
        self.types.append(kind)
        return faults

    def end(self):
        return [] if self.types and self.types[-1] in self.LAST else [f"the stream ends after {self.types[-1:]}"]
