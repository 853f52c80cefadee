"""Frequent words of the languages in Latin script, and which of these languages each word belongs to.

Owns the lists: general words of each language, no problem set's own. A word counts for a language when its list has it
and against it when only other lists do, so words that look the same in two languages stand on both sides. The last few
lists are of neighbours that the project has no problems in, but that a policy may drift to. Knows no gate.
"""

from collections.abc import Mapping
from types import MappingProxyType

_WORDS: dict[str, str] = {
    "en": """
        a about add added adding adds after again all already also although always am ami among amount an and animal
        another answer ante any apple apples are arm around art as at auto away baby back bag bags ball balls bar
        basket be because become becomes been before begin begins being big bigger bin birds boat bonbons book books
        both bought box boxes boy boys breakfast brief bring brings brother building built bus but buy buys by cake
        cakes calculate calculated called can candies candy capital car card cards cars casa cat cats chair chairs
        chance charge charged charges chicken chickens child children choose city class clothes club coffee coins cold
        collect collects color come compare computer control cook cookies corn cost costs cousin cousins cow cows cross
        cup cups cut cuts dada daily dame daughter day days de del den did die dinner dire dish dishes divide divided
        do doctor does dog dogs dollar dollars done door dos double dove dozen dress drink drinks drive drives drove
        due during each early earn earned earns eat eats egg eggs eight either eleven elf empty end enough equal
        equally equals era error et euro euros even ever every fall family far farm farmer fast father feed feeds feet
        felt few fewer field fifteen fifty fila file files fill fills film fin final find finds first fish five floor
        flowers following font food foot for fort found four friday friend friends from fruit fruits full gain gala
        game games garden gas gave general get gets gift girl girls give given gives glass glasses go goes got grade
        grand great grew gross group groups grow grown grows had hail half hand happy hard has hat have having he head
        heavy height held help helps her here hier high him his hold holds home horse horses hotel hour hours house how
        however hundred i if image images in inch inches inside into is it items its job jobs jump just keep keeps kept
        kids kind kitchen know known la label lake land large larger last later le learn leave leaves left length less
        lesson let letter light line link list lit little live lived lives load long look looks lost lot love loves
        lunch made madre mag mail main make makes making mama man many marbles mark market mars martes match material
        mayor mean means meat meet men mes met meter meters mile miles milk mine minus minute minutes mix mode moment
        monday money month months more morning most mother move moves much multiplied multiply must my myself name
        natural near need needed needs neighbor net never new next nice night nine no noche normal nos not note nothing
        nova now number numbers of off often ogni old older on once one only onto open or orange oranges orders other
        others our out outside over own pack packs padre page pages paid paint pair pairs pan paper parents park
        parking part party pas pass passed pay pays pears pen pencil pencils pens people per person persona personal
        phone picked picks pie piece pieces pies place places plane plants plate plates play player players plays plus
        point pole pool pot pots pounds pour present pretty price prix pro problem produced produces put puts quarter
        question rain ran rate rates reach read reads ready real really reason receive received receives red remain
        remaining remains rest rice ride rides riding ring road rock room rot row rows run runs sage said sale same
        sans sat saturday saved saves saw says school score scored sea second see seed seeds seen sell sells sent
        serves set seven shall share shared shares she sheep shelf shelves shirt shirts shoes shop shopping short
        shorts should side simple sin since sister sit sits six size slices small smaller snow so soap socks sold solo
        some someone something son song sort speed spend spends spent sport sports spring square stamps stand stands
        start started starts stay step steps stick still stone stop store story street strong student students subtract
        such sum summer sunday sure sweets swim table tag take taken takes tall tan task taxi teacher team tell tells
        ten tend test tests than that the their them themselves then there therefore these they thing things think
        third thirty this those thought three threw through thursday thus ticket tickets tie time times tire to today
        together told tomorrow ton tons too took total totally tour toward town toy toys train travel travels tree
        trees triple truck tuesday turn turns twelve twenty twice two uncle under understand until up us use used uses
        van vent very wait wake wale walk walked walks wall wand want wanted wants was wash watch water way we wear
        wearing wednesday week weekly weeks weigh weighs weight went were what when where whether which while white who
        whole whom whose why wide width wife wild will win wind window winner wins winter wish with without woman women
        wood word words work worked workers works worth would write writes wrong wrote yard year years yellow yes
        yesterday yet you young younger your zero zone
    """,
    "de": """
        a ab aber acht all alle allem allen aller alles als also alt alte alten alter am an andere anderen antwort
        apfel arm art auch auf aus ausgibt auto baby bald ball bar basket bei beide beiden beim bekam bekommt bereits
        bezahlt bin bis bist bitte bleib bleiben bleibt blumen bonbons box brauchen braucht brief bruder buch bus bäume
        bücher club computer da dabei dafür daher damit danach dann darauf daraus darin das dass davon dazu dem den
        denen denn der deren des deshalb die dienstag dies diese diesem diesen dieser dieses doch dollar donnerstag
        dort double drei du durch eier ein eine einem einen einer eines eins einzelne einzige elf er ergibt erhalten
        erhält erste ersten es etwa etwas euch euro euros fall fast feld fest film final finden folgt fort frau freitag
        freund freunde fünf für gab gang ganz ganze gas geben gegen gegessen geht gekauft genau gesamt gesamte gesamten
        gibst gibt gift gleich great gross große gut habe haben hand hat hatte hatten haus heißt held her hier hin hoch
        hold hotel hundert hut ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im immer in indem ins insgesamt ist it ja
        je jede jedem jeden jeder jedes jetzt job junge kann karten kauft kaufte kein keine kekse kids kilometer kind
        kinder kiste kisten kosten kostet können label land lang lange leute link list lot macht mag make mal mama man
        mann mark match mehr mein meine meter minus minute minuten mit mittwoch moment montag murmeln muss mutter
        mädchen mögen müssen nach name neu neun nicht nichts noch normal note nun nur nächsten ob oder ohne open orange
        orangen paar pack park party person personen plus pole preis pro problem rate real rechnung reihe reihen rest
        ring rock rot sage samstag schon schritt schule schwester schüler sechs second see sehr sein seine seinem
        seinen seiner seit seite seiten selbst shirt shirts shop sich sie sieben sind so soll solo somit sondern
        sonntag sort sowie spring stand start stick student stunde stunden stück sure tag tage tagen team teil test
        tests ticket tickets total tour tun tüte tüten um und uns unter up vater verbleiben verbleibt verdient verkauft
        viel viele vielen vier vom von vor wald wall wand war waren warum was weg weil weiter weitere weiteren welche
        wenn wer werden wie wieder wieviel wild will wind wir wird wo woche wochen wollen word wurde wurden während
        zahlt zehn zone zu zug zum zur zusammen zusätzlich zwanzig zwei zwischen zwölf äpfel übrig übrigen
    """,
    "es": """
        a además ahora al algo algunos ambos amigo amigos animal ante antes aquí as así aunque auto año años aún bajo
        bien boletos bolsa bolsas box cada caja cajas cal calculamos capital caramelos casa casi catorce chica chico
        cien cinco club coche color come comió como compra compran compró con control costo costó cuando cuatro cuesta
        cuál cuántas cuánto cuántos da dame dar de debe decimos decir del den desde después diario diez dinero
        dividimos doble doce doctor dollar domingo donde dos double due durante día días dólares e el ella ellas ellos
        en entonces entre era eran error es esa escuela ese eso esta estación estas este esto estos está están euro
        euros fila filas fin final finalmente flores fue fueron galletas gana ganó gas gasta gasto gastó general gente
        ha habrá había hace hacer han has hasta hay he hermana hermano hizo hombre hora horas hotel huevos igual
        igualmente jueves kilómetros la las le les libro libros llega lleva lo los luego lunes madre mal manzana
        manzanas mark martes material mayor mañana me menor menos mes meses metro metros mi mientras mil minutos mis
        mismo mitad miércoles muchas mucho muchos mujer multiplicamos muy más nada natural ni niño niños no noche
        normal nos nosotros nueve nuevo o obtenemos obtiene ocho once otra otras otro otros padre paga pan par para
        pares parte partes partir pasa paso perdió pero persona personal personas pesa pie pies poco por porque
        pregunta primer primera primeramente primero problema puede pues página páginas que queda quedan quedaron quien
        quince qué real recibe red reparte repartir respuesta resta restamos restan resto rock sale se sea seis semana
        semanal semanas ser será si siete siguiente simple sin sino sobre solo son su sube suben suma sumamos sumar sus
        sábado sí sólo también tan tanto tarde taxi te ten tendrá tenemos tener tenía test tiene tienen toda todas todo
        todos total tras tren tres triple tu tú u un una unas uno unos usa use va van veces veinte vende vendió vez
        viene viernes y ya yo árboles él
    """,
    "fr": """
        a acheter acheté achète additionnons ai ainsi ajoute ajoutons aller alors ami amis an année années ans après
        arbres argent arrêt as au aucun aura aussi autant auto autre autres aux avait avant avec avoir avons baby ball
        ballon basket beaucoup bien billet billets bonbons bouteilles box boîte boîtes bus but c'est caisse caisses
        calcul calculons car ce cela celle celui ces cet cette chacun chacune chance chaque charge charges chats chez
        chien chiens ci cinq club coin color combien comme comment control cookies corn court cousin cousins coûte
        coûtent coûts d'abord d'un d'une dans de depuis dernier dernière des descendent deux devant devons dimanche
        dire dit divise dix dizaine doit dollar dollars donc donne donné dont dos double douze du due début dépense
        elle elles en encore end enfant enfants enfin ensemble ensuite entre environ es est et eu euro euros eux faire
        faisons fait faut femme file files fille filles film films fin final finalement fleurs fois font fort four
        fruit fruits frère gagne gagné gain gains game gare garçon garçons gas gens glass go grand gâteau gâteaux heure
        heures hier homme huit il ils image images j'ai jamais je jeudi jouets jour jours jusqu'à l'on la label laisse
        large le lent les leur leurs line lit livres long lot lots lui lundi là ma main maintenant mais maison mal
        mangé marche mardi match matin me mercredi mes met miles mille mine minute minutes mis mode moins mois moitié
        moment mon montent multiplions mère mètre même n'a n'est ne net ni nombre non normal nos note notes notre nous
        nouveau nouvelle obtenons obtient oeufs oiseaux on ont onze or orange oranges ou où page pages pain pair par
        parce parents parking part partage partir pas passe pays pendant perdu personne personnes petit peu peut pie
        place places plants plus point pomme pommes pot pots pour pourquoi premier première prend prix problème
        prochaine puis puisque père qu'elle qu'il quand quant quart quatre que quel quelle quelques question qui quinze
        quoi rangée rangées rate rates rest restant restants reste restent reçoit rock rouge réponse s'est s'il sa sale
        samedi sans score se second semaine semaines sept sera ses seulement shirt shirts shopping short shorts si six
        soeur soir soit solo sommes son sont sort sous soustrayons sport sports square suffit supplémentaires sur sœur
        table tandis te temps tend test tests ticket tickets tire ton total totale tour tous tout toute toutes train
        trois trouve trouvons très tu un une va vaut vend vendredi vendu vendus vers vert vingt voici voilà voiture
        vont vos votre vous week y école également élèves étaient était étant étape été être œufs
    """,
    "sw": """
        a ada ajili alhamisi alikula alikuwa alinunua alipata aliuza ambao ambaye ambayo ambazo amebaki amenunua ameuza
        ana anabaki anahitaji anakula analipa anampa ananunua anapata anatumia anauza atakuwa au auto baada baba bado
        baina basi bei bila biskuti bus cha chake dada dakika dame elfu euro fedha gani gari gawanya gharama goroli
        hadi hakuna halafu hali hao hapa hapo hata hatua hayo hela hii hili hilo hivi hivyo hiyo hizi hizo huo huu huwa
        huyo idadi ijumaa ikiwa ila ilhali ili ilikuwa iliyobaki imebaki ina inabaki ishirini itakuwa jibu jinsi
        jumamosi jumanne jumapili jumatano jumatatu jumla jumlisha kabla kadi kaka kama kati katika kesho kiasi kila
        kilomita kina kinabaki kisha kitabu kituo kubwa kugawanya kuhusu kujumlisha kulipa kumi kuna kundi kupata
        kurasa kutoa kutoka kutumia kuwa kuzidisha kwa kwake kwamba kwanini kwanza kwenda kwenye la lake lakini line
        m'me machungwa mali mama mangapi mara marafiki mark masanduku matofaa maua mayai mbili me mfuko mia mifuko
        mingapi mistari mita miti mmoja moja mpya mstari mtoto mtu mwa mwaka mwanamke mwanaume mwezi mwingine mwisho
        mzima na nane nao ndani ndio ndiyo ndogo ndugu ngapi ni nini nne nusu nyingi nyingine nyumba nyumbani pamoja
        pekee pesa pia pili pipi pungufu rafiki saa saba sana sanduku sasa sawa sera shule shuleni si siku sisi sita
        solo sote tano tatu tena tisa toa tofaa treni tu tuna tunaweza ukurasa una vile vinabaki vingapi vipande vitabu
        vya vyake vyote wa wakati wake wako wala wale walikuwa waliobaki wana wanabaki wanafunzi wanapanda wanashuka
        wangapi wanne wao wapi watano watatu watoto watu wawili wengine wiki wote ya yake yale yalibaki yanabaki yao
        yeye yote yuko za zaidi zake zidisha zilibaki zilizobaki zinabaki zote
    """,
    # Neighbours: only words that none of the above has are of use.
    "pt": """
        agora ao aos as cada com comprou da das de depois dez do dois dos duas ela elas ele eles em então eram foi há
        isso isto mais muito na nas no nos nove não o oito os para pela pelo por portanto preço quantas quanto quantos
        quatro que resposta restam será sete seu seus sobram sua suas são também tem três têm um uma você às
    """,
    "it": """
        agli ai alla allo anche che ci cinque comprato con costo dal dalla degli dei del della delle di dieci dopo due
        era erano fra gli ha hanno i il lo loro lui nei nel nella non nove ogni ora otto per più poi quante quanti
        quanto quattro quindi rimangono risposta sei sette sono sua suo suoi totale tra tre un una uno è
    """,
    "nl": """
        acht antwoord bij blijven daarna dat de deze dit drie dus een elk elke en er geeft haar had hebben heeft
        het hij hoeveel kocht koopt maar meer met naar negen niet nog nu ook op over te tien twee uit van vier vijf
        voor worden wordt ze zes zeven zij zijn
    """,
    "ca": """
        això amb ara cada cinc de del dels després deu dos dues el els ha hi i la les li llavors més nou per però quant
        quantes quants quatre que queden resposta set seus seva sis són també tenen tres té un una va van vuit
    """,
}


def _codes_by_word() -> dict[str, frozenset[str]]:
    codes: dict[str, set[str]] = {}
    for code, words in _WORDS.items():
        for word in words.split():
            codes.setdefault(word, set()).add(code)
    return {word: frozenset(found) for word, found in codes.items()}


LANGUAGES_OF: Mapping[str, frozenset[str]] = MappingProxyType(_codes_by_word())
"""Lower-case word to the languages whose list has it."""
