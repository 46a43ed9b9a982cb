"""Answers all waiting requests with one run of the model, because a small run costs nearly the same for more rows.

Triton passes one request at a time. `take` puts it into a queue and returns before the response. A thread answers all
waiting requests at once. It waits for more of them only if the predictor sets a delay.
"""

import sys
import threading
import time
from queue import Empty, Queue

import numpy as np
import triton_python_backend_utils as pb_utils

WAITING = 64
"""The most requests in the queue. When it is full, Triton keeps the others."""
ROWS = 1024
"""The most rows of a run, unless a request alone has more."""


class Batches:
    """`run` computes the outputs of rows, `answer` the response to one request, as in model.py.

    A run has at most `rows` rows, and its first request waits `delay` seconds for others.
    """

    def __init__(self, run, outputs, answer, rows=ROWS, delay=0.0):
        self._rows = rows
        self._delay = delay
        self._held = None
        self._run = run
        self._outputs = outputs
        self._answer = answer
        self._queue = Queue(WAITING)
        threading.Thread(target=self._work, daemon=True).start()

    def take(self, requests):
        for request in requests:
            self._queue.put((request, request.get_response_sender()))
        return [None] * len(requests)

    def _work(self):
        while True:
            requests, senders = zip(*self._waiting(), strict=True)
            for sender, response in zip(senders, self._responses(requests), strict=True):
                try:
                    sender.send(response, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                except Exception as error:  # noqa: BLE001 - the answers to the others must not be lost
                    sys.stderr.write(f"cannot send a response: {error}\n")

    def _waiting(self):
        """The waiting requests, at least one."""
        found, self._held = [self._held or self._queue.get()], None
        rows, ends = count(found[0][0]), time.monotonic() + self._delay
        while rows < self._rows:
            try:
                one = self._queue.get(timeout=max(ends - time.monotonic(), 0))
            except Empty:
                break
            rows += count(one[0])
            if rows > self._rows:
                self._held = one
                break
            found.append(one)
        return found

    def _responses(self, requests):
        if len(requests) > 1:
            try:
                return self._together(requests)
            except Exception:  # noqa: BLE001, S110 - one request is at fault: each is answered alone
                pass
        return [self._answer(request) for request in requests]

    def _together(self, requests):
        given = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        names = [request.requested_output_names() for request in requests]
        wanted = [output for output in self._outputs if any(output in asked for asked in names)]
        arrays = self._run({name: np.concatenate([one[name] for one in given]) for name in given[0]}, wanted)
        ends = np.cumsum([count(request) for request in requests])
        if any(len(array) != ends[-1] for array in arrays):
            raise ValueError("each output must have a row for each row of the inputs")
        parts = [np.split(array, ends[:-1]) for array in arrays]
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, part[at]) for name, part in zip(wanted, parts, strict=True) if name in asked]
            )
            for at, asked in enumerate(names)
        ]


def count(request):
    """The rows of a request."""
    return request.inputs()[0].shape()[0]
