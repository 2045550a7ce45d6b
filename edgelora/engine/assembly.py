"""Opening a base puts the parts of an engine together."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from edgelora.engine.kv import KVStore
from edgelora.engine.mask import Masker, new_masker
from edgelora.engine.memory import PROBE_CELLS, MemoryPlan, plan_memory
from edgelora.engine.natives import Natives
from edgelora.engine.opening import base_info, open_context, open_model, require_vocabulary, why_exclusive
from edgelora.engine.parking import open_parking
from edgelora.engine.pool import Pool
from edgelora.engine.probe import Probe
from edgelora.engine.residency import Residency
from edgelora.engine.selftest import self_test
from edgelora.gguf.computable import require_computable
from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.split import read_joined
from edgelora.native.context import Context
from edgelora.native.model import Model
from edgelora.native.sequences import SequenceMemory
from edgelora.types import BaseInfo, EngineConfig, ReportProgress


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of. ``native`` frees the context and the model, after everything that uses them."""

    plan: MemoryPlan
    model: Model
    context: Context
    masker: Masker
    pool: Pool
    residency: Residency
    kv: KVStore
    base: BaseInfo
    native: ExitStack


def assemble(config: EngineConfig, report: ReportProgress) -> Parts:
    """Open the base. Raises GGUFError, MemoryLimitError or EngineError, and then nothing is left open."""
    header = read_joined(config.base)
    config = replace(config, base=header.path)  # of a split base llama.cpp wants the first part
    facts = BaseFacts.of(header)
    require_vocabulary(header)
    require_computable(header)
    plan = plan_memory(facts, config)
    masker = new_masker()
    scratch = (config.max_sequences, config.max_sequences + 1)
    with ExitStack() as opened:
        model = open_model(config, report)
        opened.callback(model.close)
        context = open_context(model, config, plan, len(scratch), masker)
        opened.callback(context.close)
        pool = Pool(
            model,
            context,
            masker,
            header.tensors,
            facts.arch,
            dtype=config.pool_dtype,
            budget=plan.pool_budget,
            scratch=scratch[0],
        )
        probe = Probe(context, masker, scratch)
        exclusive = why_exclusive(model, config) or self_test(model, header, pool, probe, config.pool_dtype)
        base = base_info(model, facts, plan, exclusive, masker)
        residency = Residency(
            header,
            pool,
            Natives(model, context),
            probe,
            config.pool_dtype,
            exclusive,
            budget=plan.pool_budget,
            prepared_budget=plan.prepared_budget,
        )
        parking = open_parking(config, base, plan.parked_budget)
        kv = KVStore(SequenceMemory(model, context), plan.cells - PROBE_CELLS, config.max_sequences, parking)
        return Parts(plan, model, context, masker, pool, residency, kv, base, opened.pop_all())
