/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/token.h>

/* Keystone's longest are a few hundred bytes; PKI ones of old went up to the limit of a header. */
#define GLANCE_TOKEN_MAX 8192

/* One printable word, so that it fits into a header and ends there. */
gboolean glance_token_is_sane (const char *token);
