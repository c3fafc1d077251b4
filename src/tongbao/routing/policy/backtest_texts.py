"""What people read of a back-test, in Chinese and English: what is known of a move, and what is not."""

from tongbao.routing.policy import rules_backtest
from tongbao.routing.policy.rules_backtest import NOWHERE, RANKED, Approval, Move


def move_text(move: Move, language: str) -> str:
    """Return what is known of a move and what is not; the English words are those of ``rules_backtest.sentence``."""
    return _chinese(move) if language.startswith("zh") else rules_backtest.sentence(move)


def _chinese(move: Move) -> str:
    count = f"{move.count:.1f}".removesuffix(".0")
    said = f"{count} 笔付款将离开 {move.from_channel}（在那里{_share(move.seen)}）"
    if move.to_channel == NOWHERE:
        return f"{said}，且没有可用通道。"
    if move.to_channel == RANKED:
        return f"{said}，由排序在剩余通道中选择，去向未知。"
    said += f"，改走 {move.to_channel}。在那里的结果未知；"
    if not move.there.is_enough:
        return f"{said}同类付款只有 {move.there.count} 笔走过该通道，不足以估计。"
    return f"{said}同类付款实际走该通道的，{_share(move.there)}。"


def _share(approval: Approval) -> str:
    percent = 100 * approval.approved_count / approval.count
    bounds = f"95 % 区间 {100 * approval.low:.1f} 至 {100 * approval.high:.1f} %"
    return f"{approval.count} 笔中成功 {approval.approved_count} 笔（{percent:.1f} %，{bounds}）"
