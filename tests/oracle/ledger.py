"""Bytes that PyTorch holds while a training step runs, without any memory: fake tensors, counted by storage.

Like torch.distributed._tools.mem_tracker, a dispatch mode sees every operator below autograd, and a weak reference to
each new storage tells when it dies; here also below DTensor, and in order, so that peaks belong to phases. Not seen is
what a kernel allocates for itself; not counted are scalars (less than 16 bytes).
"""
import functools
import weakref

import torch
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._sharding_prop import ShardingPropagator
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

SCALAR = 16


def _plain(tensor):
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


class Ledger(TorchDispatchMode):
    """Counts storages that appear while it is entered; `phase` names the peaks."""

    def __init__(self, device="cpu"):
        super().__init__()
        self.device = device
        self.live = 0
        self.peaks = {}
        self.phase = None
        self.blind = False  # True: what appears is none of the model's
        self._storages = {}  # address of the storage -> (weak reference, bytes)

    def enter(self, phase):
        self.phase = phase
        self.peaks[phase] = max(self.live, self.peaks.get(phase, 0))

    def _count(self, key, change):
        self.live += change
        if self.phase is not None:
            self.peaks[self.phase] = max(self.peaks[self.phase], self.live)

    def _died(self, key, _):
        _, nbytes = self._storages.pop(key)
        self._count(key, -nbytes)

    def see(self, tensor):
        tensor = _plain(tensor)
        if self.blind or tensor.device.type != self.device:
            return
        storage = tensor.untyped_storage()
        key, nbytes = storage._cdata, storage.nbytes()
        nbytes = nbytes if nbytes >= SCALAR else 0
        if key in self._storages:
            reference, before = self._storages[key]
        else:
            reference, before = weakref.ref(storage, functools.partial(self._died, key)), 0
        if before != nbytes:
            self._storages[key] = (reference, nbytes)
            self._count(key, nbytes - before)
        elif key not in self._storages:
            self._storages[key] = (reference, nbytes)

    def resized(self, storage):
        if storage._cdata in self._storages:
            reference, before = self._storages[storage._cdata]
            self._storages[storage._cdata] = (reference, storage.nbytes())
            self._count(storage._cdata, storage.nbytes() - before)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(issubclass(t, DTensor) for t in types):
            return NotImplemented  # what it does with its local tensors is seen one by one
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.see(leaf)
        return result

    def __enter__(self):
        resize = torch.UntypedStorage.resize_
        self._restore = functools.partial(setattr, torch.UntypedStorage, "resize_", resize)

        def resize_(storage, size):
            resize(storage, size)
            self.resized(storage)

        torch.UntypedStorage.resize_ = resize_
        return super().__enter__()

    def __exit__(self, *exception):
        self._restore()
        return super().__exit__(*exception)


def _outside_of_modes(propagate):
    # DTensor asks what shape an operator's global result has by running it on fake tensors of its own.
    @functools.wraps(propagate)
    def wrapped(*args, **kwargs):
        with _disable_current_modes():
            return propagate(*args, **kwargs)

    return wrapped


ShardingPropagator._propagate_tensor_meta_non_cached = _outside_of_modes(
    ShardingPropagator._propagate_tensor_meta_non_cached)
