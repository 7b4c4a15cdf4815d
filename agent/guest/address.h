/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>

G_BEGIN_DECLS

GSocketConnectable *address_parse        (const char  *text,
                                          GError     **error) G_GNUC_WARN_UNUSED_RESULT;
char               *address_normalize    (const char  *text);
char               *address_guess_id     (const char  *text);
gboolean            address_is_path      (const char  *text);

gboolean            guest_id_is_good     (const char  *id);
gboolean            guest_config_check   (const GuestConfig  *config,
                                          GError            **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
