"""Tasks with words: antonyms, and idioms with a gap. All or nothing, and an answer is the word alone."""

from __future__ import annotations

import random

from yanmo.evaluate.tasks.problem import Problem, Task, exactly

ANTONYMS = (
    (
        "大小 多少 高低 长短 快慢 早晚 新旧 冷热 黑白 上下 左右 前后 里外 来去 进出 开关 轻重 远近 深浅 宽窄 粗细 "
        "厚薄 强弱 胖瘦 真假 好坏 美丑 香臭 甜苦 干湿 软硬 松紧 明暗 生死 买卖 问答 输赢 升降 胜败 爱恨 哭笑 贫富 "
        "老少 男女 天地 日夜 始终 首尾 曲直 正反 横竖 虚实 公私 善恶 祸福 借还 收发 攻守 聚散 增减 阴晴 吞吐 存亡 "
        "动静"
    ).split(),
    (
        "高兴-难过 快乐-悲伤 勤劳-懒惰 勇敢-胆小 聪明-愚笨 干净-肮脏 安静-吵闹 温暖-寒冷 热闹-冷清 整齐-杂乱 "
        "认真-马虎 诚实-虚伪 谦虚-骄傲 团结-分裂 成功-失败 开始-结束 增加-减少 上升-下降 前进-后退 进步-退步 "
        "表扬-批评 节约-浪费 保护-破坏 危险-安全 困难-容易 复杂-简单 熟悉-陌生 清楚-模糊 明亮-昏暗 宽阔-狭窄 "
        "光滑-粗糙 坚硬-柔软 茂盛-稀疏 新鲜-陈旧 富裕-贫穷 强大-弱小 细心-粗心 朋友-敌人 白天-黑夜 古代-现代 "
        "优点-缺点 加法-减法 公开-秘密 同意-反对 喜欢-讨厌 记住-忘记 得到-失去 靠近-远离 打开-关闭 集中-分散 "
        "紧张-轻松 主动-被动 直接-间接 积极-消极 乐观-悲观 精彩-平淡 伟大-渺小 迅速-缓慢 完整-残缺 具体-抽象"
    ).split(),
)
"""One character each, and two."""

IDIOMS = (
    "画龙点睛 守株待兔 亡羊补牢 井底之蛙 掩耳盗铃 刻舟求剑 拔苗助长 狐假虎威 对牛弹琴 杯弓蛇影 叶公好龙 滥竽充数 "
    "画蛇添足 自相矛盾 胸有成竹 一心一意 三心二意 四面八方 五颜六色 七上八下 十全十美 百发百中 千变万化 万众一心 "
    "半途而废 东张西望 左思右想 前仰后合 山清水秀 鸟语花香 春暖花开 秋高气爽 冰天雪地 风和日丽 倾盆大雨 雪中送炭 "
    "锦上添花 如鱼得水 虎头蛇尾 马到成功 龙飞凤舞 鸡飞狗跳 鹤立鸡群 骑虎难下 顺手牵羊 打草惊蛇 狼吞虎咽 蜻蜓点水 "
    "不可思议 不约而同 不慌不忙 不由自主 全神贯注 聚精会神 目不转睛 专心致志 废寝忘食 持之以恒 坚持不懈 水滴石穿 "
    "铁杵成针 愚公移山 精卫填海 夸父追日 女娲补天 闻鸡起舞 凿壁偷光 悬梁刺股 卧薪尝胆 破釜沉舟 纸上谈兵 指鹿为马 "
    "负荆请罪 完璧归赵 三顾茅庐 草木皆兵 望梅止渴 四面楚歌 背水一战 围魏救赵 大同小异 大惊小怪 小题大做 因小失大 "
    "以小见大 口是心非 口若悬河 心直口快 眉开眼笑 手忙脚乱 眼明手快 头头是道 名不虚传 名副其实 实事求是 事半功倍 "
    "功败垂成 成千上万 天长地久 久别重逢 生机勃勃 兴高采烈 喜出望外 欢天喜地 张灯结彩 五谷丰登 安居乐业 人山人海 "
    "车水马龙 川流不息 络绎不绝 争先恐后 后来居上 上行下效 见义勇为 助人为乐 舍己为人 大公无私 光明磊落 堂堂正正 "
    "言而有信 一诺千金 一鸣惊人 一目了然 一举两得 一帆风顺 一箭双雕 一见如故 温故知新 学以致用 举一反三 融会贯通 "
    "孜孜不倦 博学多才 出口成章 妙笔生花 引人入胜 津津有味 栩栩如生 惟妙惟肖"
).split()


def antonym(generator: random.Random, level: int) -> Problem:
    """The opposite of a word, of one character or of two."""
    pair = generator.choice(ANTONYMS[level - 1])
    words = pair.split("-") if "-" in pair else list(pair)
    if generator.random() < 0.5:
        words.reverse()
    word, opposite = words
    return Problem(f"“{word}”的反义词是什么？只写这个词。", opposite, exactly(opposite), "".join(sorted(pair)))


def idiom(generator: random.Random, level: int) -> Problem:
    """An idiom with its last character missing, then any one, then any two. What fits and is on the list is right."""
    whole = generator.choice(IDIOMS)
    places = [3] if level == 1 else sorted(generator.sample(range(4), min(level - 1, 2)))
    gapped = "".join("＿" if place in places else character for place, character in enumerate(whole))
    fitting = [known for known in IDIOMS if all(gap in ("＿", own) for gap, own in zip(gapped, known, strict=True))]
    return Problem(f"把成语补充完整，写出整个成语：{gapped}", whole, exactly(*fitting), whole)


ANTONYM = Task("antonyms", "the opposite of a word", 2, antonym)
IDIOM = Task("idioms", "an idiom with a gap", 3, idiom)
