<?php
// SPDX-License-Identifier: Apache-2.0
// libcurl out of an extension, which PHP loads with RTLD_DEEPBIND, and PHP's own streams: URL
function ask($handle, $options)
{
    curl_setopt_array($handle, $options + [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 30]);
    return $handle;
}

$url = $argv[1];
$handle = ask(curl_init("$url/text"), []);
var_dump(curl_exec($handle), curl_error($handle));
var_dump(curl_exec(ask($handle, [CURLOPT_URL => "$url/echo", CURLOPT_POSTFIELDS => 'a=1'])));

$many = curl_multi_init();
$handles = array_map(fn ($n) => ask(curl_init("$url/text?$n"), []), range(1, 4));
array_map(fn ($handle) => curl_multi_add_handle($many, $handle), $handles);
do {
    curl_multi_exec($many, $running);
    curl_multi_select($many);
} while ($running);
var_dump(array_map('curl_multi_getcontent', $handles));

var_dump(file_get_contents("$url/text"), strlen(file_get_contents("$url/big")));
