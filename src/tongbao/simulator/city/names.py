"""Names of people who do not exist, made from common family and given names.

Family names by how many bear them: the commonest of mainland China and of the United States; the weights fall with the
rank. Chinese names come with their pinyin, from which mailboxes are made.
"""

import random
from typing import NamedTuple

MAIL_DOMAINS = ("example.com", "example.org", "example.net")
"""Reserved for examples (RFC 2606): no mail to them reaches anybody."""
_FAMILIES_ZH = (
    "王 wang,李 li,张 zhang,刘 liu,陈 chen,杨 yang,黄 huang,赵 zhao,吴 wu,周 zhou,徐 xu,孙 sun,马 ma,朱 zhu,胡 hu,郭 guo,"
    "何 he,林 lin,高 gao,罗 luo,郑 zheng,梁 liang,谢 xie,宋 song,唐 tang,许 xu,韩 han,冯 feng,邓 deng,曹 cao,彭 peng,"
    "曾 zeng,肖 xiao,田 tian,董 dong,潘 pan,袁 yuan,蔡 cai,蒋 jiang,余 yu,于 yu,杜 du,叶 ye,程 cheng,魏 wei,苏 su,吕 lü,"
    "丁 ding,任 ren,卢 lu,姚 yao,沈 shen,钟 zhong,姜 jiang,崔 cui,谭 tan,陆 lu,范 fan,汪 wang,廖 liao,欧阳 ouyang"
)
_GIVEN_ZH = (
    "伟 wei,芳 fang,娜 na,敏 min,静 jing,磊 lei,洋 yang,勇 yong,艳 yan,杰 jie,军 jun,秀英 xiuying,丽 li,强 qiang,涛 tao,"
    "明 ming,超 chao,霞 xia,平 ping,刚 gang,桂英 guiying,建华 jianhua,建国 jianguo,志强 zhiqiang,玉兰 yulan,晓雨 xiaoyu,"
    "子涵 zihan,梓萱 zixuan,浩然 haoran,欣怡 xinyi,宇轩 yuxuan,诗涵 shihan,思远 siyuan,雨桐 yutong,嘉怡 jiayi,俊杰 junjie,"
    "佳琪 jiaqi,文博 wenbo,雪梅 xuemei,春华 chunhua,海燕 haiyan,国强 guoqiang,淑珍 shuzhen,一诺 yinuo,沐宸 muchen,"
    "若曦 ruoxi,天佑 tianyou,晨曦 chenxi,立新 lixin,红梅 hongmei"
)
_FAMILIES_EN = (
    "Smith,Johnson,Williams,Brown,Jones,Garcia,Miller,Davis,Rodriguez,Martinez,Hernandez,Lopez,Wilson,Anderson,Thomas,"
    "Taylor,Moore,Jackson,Martin,Lee,Perez,Thompson,White,Harris,Clark,Lewis,Robinson,Walker,Young,Allen,King,Wright,"
    "Scott,Torres,Nguyen,Hill,Flores,Green,Adams,Nelson,Baker,Hall,Rivera,Campbell,Mitchell,Carter,O'Brien"
)
_GIVEN_EN = (
    "James,Mary,Michael,Patricia,Robert,Jennifer,John,Linda,David,Elizabeth,William,Barbara,Richard,Susan,Joseph,Jessica,"
    "Thomas,Sarah,Daniel,Karen,Matthew,Lisa,Anthony,Nancy,Mark,Emily,Olivia,Noah,Emma,Liam,Ava,Lucas,Mia,Ethan,Chloe,"
    "Amelia,Henry,Grace,Jack,Zoe,Aminah,Yusuf,Priya,Arjun,Sofia,Mateo"
)


class Name(NamedTuple):
    """A name as it is written, and the local part of a mailbox in ASCII."""

    text: str
    mailbox: str


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((sign, sound) for sign, sound in (each.split(" ") for each in text.split(",")))


FAMILIES_ZH, GIVEN_ZH = _pairs(_FAMILIES_ZH), _pairs(_GIVEN_ZH)
FAMILIES_EN, GIVEN_EN = tuple(_FAMILIES_EN.split(",")), tuple(_GIVEN_EN.split(","))


def chinese(rng: random.Random) -> Name:
    """Return a Chinese name, family first: 林晓雨, ``xiaoyu.lin``."""
    family, family_sound = FAMILIES_ZH[_ranked(rng, len(FAMILIES_ZH))]
    given, given_sound = rng.choice(GIVEN_ZH)
    # A mailbox spells the vowel of 吕 as passports do.
    return Name(family + given, f"{given_sound}.{family_sound}".replace("lü", "lyu"))


def english(rng: random.Random) -> Name:
    """Return a name as English writes it: Grace O'Brien, ``grace.obrien``."""
    given, family = rng.choice(GIVEN_EN), FAMILIES_EN[_ranked(rng, len(FAMILIES_EN))]
    return Name(f"{given} {family}", f"{given}.{family.replace(chr(39), '')}".lower())


def _ranked(rng: random.Random, count: int) -> int:
    """Return a rank that is the likelier the lower it is: the square of a uniform, stretched."""
    return int(count * rng.random() ** 2)
