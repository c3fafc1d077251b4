"""What shops of each kind have in common: hours, tickets, goods, what is given back, and when people come.

Tickets are medians in CNY minor units; ``spread`` is the standard deviation of their logarithm. ``mcc`` by ISO 18245.
Shares of refunds and disputes are of payments that succeeded: food is eaten, clothes are sent back.
"""

from enum import StrEnum
from typing import NamedTuple

from tongbao.simulator.city.schema import ShopKind as K

Hours = tuple[tuple[int, int] | None, ...]


class Rhythm(StrEnum):
    """When in a day people want something."""

    MEALS = "meals"
    MORNING = "morning"
    DAYTIME = "daytime"
    EVENING = "evening"
    ONLINE = "online"


RHYTHMS: dict[Rhythm, tuple[float, ...]] = {
    Rhythm.MEALS: (0, 0, 0, 0, 0, 0, 1, 4, 4, 2, 2, 8, 13, 7, 2, 2, 3, 8, 13, 9, 5, 3, 2, 1),
    Rhythm.MORNING: (0, 0, 0, 0, 0, 0, 2, 9, 14, 10, 7, 6, 7, 9, 9, 7, 5, 4, 3, 3, 2, 1, 0.5, 0.2),
    Rhythm.DAYTIME: (0.1, 0, 0, 0, 0, 0.3, 1, 3, 5, 7, 8, 8, 7, 6, 7, 8, 8, 9, 10, 9, 6, 4, 2, 0.5),
    Rhythm.EVENING: (2, 0.5, 0.2, 0.1, 0, 0, 0.2, 0.5, 1, 2, 3, 4, 4, 5, 6, 6, 6, 7, 9, 13, 13, 10, 6, 4),
    Rhythm.ONLINE: (2, 1, 0.4, 0.2, 0.2, 0.3, 1, 2, 4, 5, 6, 6, 7, 6, 5, 5, 5, 5, 6, 8, 10, 11, 9, 5),
}
"""Weights of the 24 hours of a local day."""


class Trade(NamedTuple):
    """What is usual for a kind. ``delivers``: people also buy from home, in bad weather more than else.

    ``manual_share`` of payments by card is authorized first and captured later, of which ``whole_share`` wholly.
    ``taste`` is how often people of middle age want it, beside other kinds.
    """

    mcc: str
    hours: Hours
    rhythm: Rhythm
    ticket_minor: int
    spread: float
    refund_share: float
    dispute_share: float
    delivers: bool
    manual_share: float
    whole_share: float
    taste: float
    names: tuple[str, ...]
    goods: tuple[str, ...]


def _daily(first: int, last: int) -> Hours:
    return ((first * 60, last * 60),) * 7


def _week(work: tuple[int, int], weekend: tuple[int, int] | None, monday: bool = True) -> Hours:
    """Return hours of five days and of the weekend; a shop may rest on Mondays."""
    day, end = (work[0] * 60, work[1] * 60), weekend and (weekend[0] * 60, weekend[1] * 60)
    return (day if monday else None, day, day, day, day, end, end)


_ALWAYS = _daily(0, 24)
# Columns: mcc, hours, rhythm, ticket, spread, refunds, disputes, delivers, manual, whole, taste.
TRADES: dict[K, Trade] = {
    K.TEA_HOUSE: Trade(
        *("5814", _week((9, 22), (9, 23)), Rhythm.DAYTIME, 58_00, 0.55, 0.01, 0.0004),
        *(False, 0.0, 1.0, 1.0),
        ("Jade Gate Tea House 玉门茶馆", "Old Well Tea 老井茶", "Cloud Mist Tea 云雾茶坊"),
        ("Longjing tea 龙井", "Gaiwan set 盖碗", "Osmanthus cake 桂花糕", "Pu'er for two 普洱双人"),
    ),
    K.NOODLES: Trade(
        *("5812", _daily(6, 22), Rhythm.MEALS, 32_00, 0.45, 0.006, 0.0003),
        *(True, 0.0, 1.0, 2.4),
        ("Lanzhou Noodles 兰州拉面", "Crab Roe Noodles 蟹黄面馆", "Auntie Zhang's Dumplings 张姨饺子"),
        ("Beef noodles 牛肉面", "Crab roe noodles 蟹黄面", "Pork dumplings 猪肉水饺", "Set lunch 午市套餐"),
    ),
    K.COFFEE: Trade(
        *("5814", _week((7, 20), (8, 21)), Rhythm.MORNING, 29_00, 0.35, 0.006, 0.0003),
        *(True, 0.0, 1.0, 2.0),
        ("Plane Tree Coffee 梧桐咖啡", "Wukang Road Roasters 武康路烘焙", "Corner Coffee 街角咖啡"),
        ("Flat white 澳白", "Americano 美式", "Osmanthus latte 桂花拿铁", "Croissant 可颂"),
    ),
    K.BOOKSHOP: Trade(
        *("5942", _week((10, 21), (9, 22)), Rhythm.DAYTIME, 78_00, 0.6, 0.03, 0.0006),
        *(True, 0.1, 0.95, 0.7),
        ("Paper Lantern Books 纸灯书店", "Harbor Lights Books 港灯书店", "Suzhou Creek Books 苏河书局"),
        ("Novel 小说", "Picture book 绘本", "Travel guide 旅行指南", "Notebook 手帐"),
    ),
    K.GROCERY: Trade(
        *("5411", _daily(7, 23), Rhythm.DAYTIME, 86_00, 0.7, 0.015, 0.0003),
        *(True, 0.0, 1.0, 2.6),
        ("Green Basket Market 绿篮子生鲜", "Lane Nine Grocery 九弄便利", "Riverside Supermarket 滨江超市"),
        ("Vegetables and fruit 蔬果", "Weekly shop 一周采购", "Rice and oil 米油", "Breakfast 早餐"),
    ),
    K.PHARMACY: Trade(
        *("5912", _week((8, 22), (9, 21)), Rhythm.DAYTIME, 64_00, 0.65, 0.01, 0.0004),
        *(True, 0.0, 1.0, 0.7),
        ("Hundred Herbs Pharmacy 百草药房", "Kindly Hands Pharmacy 仁心大药房"),
        ("Cold medicine 感冒药", "Vitamins 维生素", "Plasters and masks 创可贴口罩", "Blood pressure 降压药"),
    ),
    K.CLOTHES: Trade(
        *("5651", _week((10, 22), (10, 22)), Rhythm.EVENING, 239_00, 0.65, 0.14, 0.002),
        *(True, 0.3, 0.9, 0.8),
        ("Silk Road Clothes 丝路衣橱", "Nine Threads 九线", "Lilong Fashion 里弄时装"),
        ("Linen shirt 亚麻衬衫", "Down jacket 羽绒服", "Qipao 旗袍", "Sneakers 运动鞋"),
    ),
    K.ELECTRONICS: Trade(
        *("5732", _daily(9, 22), Rhythm.ONLINE, 899_00, 0.9, 0.06, 0.003),
        *(True, 0.3, 0.95, 0.35),
        ("Bright Circuit 明路数码", "Xujiahui Electronics 徐家汇电子"),
        ("Earphones 耳机", "Phone 手机", "Tablet 平板", "Charger 充电器"),
    ),
    K.CINEMA: Trade(
        *("7832", _week((12, 24), (9, 24)), Rhythm.EVENING, 92_00, 0.4, 0.03, 0.0005),
        *(False, 0.0, 1.0, 0.7),
        ("Grand Lantern Cinema 大灯影院", "Starlight Pictures 星光影城"),
        ("Two tickets 双人票", "Ticket 电影票", "Popcorn set 爆米花套餐"),
    ),
    K.BIKES: Trade(
        *("7999", _daily(5, 24), Rhythm.MORNING, 60_00, 0.35, 0.01, 0.0004),
        *(False, 1.0, 0.1, 0.6),
        ("Hutong Bikes 胡同单车", "River Rides 江畔骑行"),
        ("Bike for a day 单车日租", "E-bike, deposit 电单车押金", "Tandem 双人车"),
    ),
    K.FLOWERS: Trade(
        *("5992", _week((9, 20), (8, 21), monday=False), Rhythm.DAYTIME, 118_00, 0.55, 0.02, 0.0006),
        *(True, 0.0, 1.0, 0.35),
        ("Spring Festival Flowers 年宵花市", "White Magnolia Florist 白玉兰花店"),
        ("Peonies 牡丹", "Roses 玫瑰", "Orchid 兰花", "Wedding bouquet 手捧花"),
    ),
    K.HOTEL: Trade(
        *("7011", _ALWAYS, Rhythm.ONLINE, 468_00, 0.5, 0.07, 0.0015),
        *(False, 1.0, 0.85, 0.2),
        ("Bund View Hotel 外滩望江酒店", "Garden Lane Inn 花园里客栈"),
        ("One night 一晚", "Two nights 两晚", "Room with a view 江景房"),
    ),
    K.GAMES: Trade(
        *("5816", _ALWAYS, Rhythm.ONLINE, 42_00, 0.8, 0.02, 0.004),
        *(False, 0.0, 1.0, 0.9),
        ("Dragon Gate Games 龙门游戏", "Pixel Temple 像素寺"),
        ("Coins 金币", "Season pass 季票", "New game 新游戏", "Skin 皮肤"),
    ),
    K.UTILITIES: Trade(
        *("4900", _ALWAYS, Rhythm.ONLINE, 132_00, 0.45, 0.002, 0.0002),
        *(False, 0.0, 1.0, 0.6),
        ("Huangpu Power and Water 浦江水电", "City Gas 城市燃气"),
        ("Electricity 电费", "Water 水费", "Gas 燃气费", "Phone top-up 话费"),
    ),
}
