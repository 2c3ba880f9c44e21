"""A device "toy" beside the CPU, for fake tensors: what runs there has streams and events, as PyTorch's own parallelism
wants them, and nothing behind them. So copies between host and device are copies, and each side is counted alone."""
import contextlib

import torch
from torch.utils import backend_registration

NAME = "toy"


class Event:
    def __init__(self, *_, **__):
        pass

    def record(self, stream=None):
        pass

    def wait(self, stream=None):
        pass

    def synchronize(self):
        pass

    def query(self):
        return True


class Stream:
    def __init__(self, *_, **__):
        pass

    def wait_stream(self, stream):
        pass

    def wait_event(self, event):
        pass

    def record_event(self, event=None):
        return event or Event()

    def synchronize(self):
        pass


class Module(backend_registration._DummyBackendModule):
    Stream, Event = Stream, Event
    _stream = Stream()

    def current_stream(self, device=None):
        return self._stream

    def stream(self, stream):
        return contextlib.nullcontext()

    def device(self, device):
        return contextlib.nullcontext()

    def set_device(self, device):
        pass

    def synchronize(self, device=None):
        pass

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]

    def mem_get_info(self, device=None):
        return 0, 0


_kernels = torch.library.Library("aten", "IMPL")


def set_up():
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    torch.Tensor.record_stream = lambda tensor, stream: None
    # Without a kernel of the device's own it would be made of several operators, which it is on no GPU.
    _kernels.impl("silu_backward", lambda gradient, _: torch.empty_like(gradient), "PrivateUse1")
