"""Who answers this request?"""
